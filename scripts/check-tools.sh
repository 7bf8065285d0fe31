#!/usr/bin/env bash
# Says in one line what a build needs and this machine lacks.
set -euo pipefail

stop() {
  echo "$1" >&2
  exit 1
}

command -v cargo >/dev/null || stop "cargo is missing: install Rust from https://rustup.rs"
command -v cc >/dev/null || stop "cc is missing: install a C compiler (Debian: apt-get install build-essential)"
command -v c++ >/dev/null || stop "c++ is missing: install a C++ compiler (Debian: apt-get install build-essential)"
command -v make >/dev/null || stop "make is missing: install it (Debian: apt-get install build-essential)"
command -v perl >/dev/null || stop "perl is missing: install it, OpenSSL's build needs it (Debian: apt-get install perl)"
