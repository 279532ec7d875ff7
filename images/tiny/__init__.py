"""The tiny image: a few megabytes of Linux with an SSH server, made from Debian's packages."""
