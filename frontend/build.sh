#!/bin/sh
# Builds static/dist from this folder. Needs node only here: what it makes is committed.
set -eu
cd "$(dirname "$0")"
modules=node_modules
dist=../static/dist
[ -n "${SKIP_NPM_CI:-}" ] || npm install --no-save --ignore-scripts --no-audit --no-fund
mkdir -p "$dist/fonts" ../tests/assets
cp "$modules/@fontsource-variable/geist/files/geist-latin-wght-normal.woff2" "$dist/fonts/geist-latin.woff2"
cp "$modules/@fontsource-variable/geist/files/geist-latin-ext-wght-normal.woff2" "$dist/fonts/geist-latin-ext.woff2"
cp "$modules/@fontsource-variable/geist-mono/files/geist-mono-latin-wght-normal.woff2" "$dist/fonts/geist-mono-latin.woff2"
cp favicon.svg "$dist/favicon.svg"
cp "$modules/htmx.org/dist/htmx.min.js" "$dist/htmx.js"
cp "$modules/@xterm/xterm/css/xterm.css" "$dist/xterm.css"
cp "$modules/axe-core/axe.min.js" ../tests/assets/axe.min.js
"$modules/.bin/tailwindcss" -i app.css -o "$dist/app.css" 2>/dev/null
"$modules/.bin/esbuild" js/app.js js/chart.js js/chat.js js/term.js --bundle --minify --format=iife --target=es2022 --outdir="$dist" --loader:.css=empty --log-level=warning
python3 icons.py "$dist/icons.svg"
python3 vendor.py "$dist"
(cd .. && python3 -m runner stamp-assets)
