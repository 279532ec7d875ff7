# From NoCloud data to one shell script; `@sh` quotes whatever a value holds. One run of jq, for each costs time.
def text: if . == null then "" else tostring end;
($user[0].users[0] // {}) as $first
| "id=\($meta[0]["instance-id"] // "none" | text | @sh)",
  "host=\($meta[0]["local-hostname"] // "tiny" | text | @sh)",
  "user=\($first.name // "user" | text | @sh)",
  "host_key() { printf %s \($user[0].ssh_keys.ed25519_private // "" | text | @sh); }",
  "login_keys() { printf %s \([$first.ssh_authorized_keys[]? | text + "\n"] | join("") | @sh); }",
  "write_files() { :",
  ($user[0].write_files[]? | (.path | text | @sh) as $path
    | "mkdir -p \"$(dirname \($path))\" && printf %s \(.content | text | @sh) > \($path)"),
  "}",
  "run_commands() { :",
  ($user[0].runcmd[]? | if type == "array" then map(text | @sh) | join(" ") else "sh -c \(text | @sh)" end),
  "}"
