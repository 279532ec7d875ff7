/* Light-DOM custom elements: no framework, no eval; they survive htmx swaps because the browser itself connects them. */
import "./elements/toaster.js";
import "./elements/copy.js";
import "./elements/tabs.js";
import "./elements/select-rows.js";
import "./elements/events.js";
import "./elements/elapsed.js";
import "./elements/log.js";
import "./elements/map-mode.js";
import "./elements/palette.js";
import "./elements/tasks.js";
import "./elements/confirm.js";
import "./elements/form.js";
import "./elements/upload.js";
import "./shell.js";
