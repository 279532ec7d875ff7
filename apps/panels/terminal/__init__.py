"""The terminal and the serial console in the browser: a WebSocket on one side, a machine on the other."""
