#!/usr/bin/env bash
# Builds a zip file a function and job for AWS Lambda into target/package/<architecture>/, for the architecture that is named: arm64 or
# x86_64. Prints their sizes, and fails where one is more than Lambda takes. Installs cargo-lambda into .servers/package, or below where
# FRESHET_SERVERS says, the first time.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
pinned=$root/scripts/servers/package/requirements.txt
tools=${FRESHET_SERVERS:-$root/.servers}/package
# What Lambda takes of a zip file that is uploaded, and of what is in it.
most_zipped=$((50 * 1024 * 1024))
most_unzipped=$((250 * 1024 * 1024))

stop() {
  echo "$1" >&2
  exit 1
}

architecture=${1:-}
case $architecture in
  arm64) target=aarch64-unknown-linux-gnu ;;
  x86_64) target=x86_64-unknown-linux-gnu ;;
  *) stop "package.sh takes an architecture: arm64 or x86_64" ;;
esac
command -v python3 >/dev/null || stop "python3 is missing: install Python 3.10 or later (Debian: apt-get install python3 python3-venv)"

stamp=$(cksum <"$pinned")
if [[ ! -f $tools/stamp || $(<"$tools/stamp") != "$stamp" ]]; then
  echo "package: cargo-lambda and Zig, through pip (about 350 MB unpacked)"
  rm -rf "$tools"
  python3 -m venv "$tools/python"
  "$tools/python/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --requirement "$pinned"
  echo "$stamp" >"$tools/stamp"
fi
# cargo finds `cargo-lambda` there, and cargo-lambda the Python whose ziglang it takes.
export PATH="$tools/python/bin:$PATH"

names=()
packages=()
for manifest in "$root"/functions/*/Cargo.toml "$root"/jobs/*/Cargo.toml; do
  directory=$(dirname "$manifest")
  kind=$(basename "$(dirname "$directory")")
  names+=("${kind%s}-$(basename "$directory")")
  packages+=(--package "freshet-${kind%s}-$(basename "$directory")")
done

cd "$root"
# One run, which compiles what several use once. A package still holds only what its own function calls: each binary is linked from its
# own dependencies, and what of these it never reaches goes at link time. The profile `lambda` of Cargo.toml says how; cargo-lambda's own
# optimizations would make a panic end the process, where a handler's must end as a problem.
cargo lambda build --locked --profile lambda --disable-optimizations --target "$target" --lambda-dir "$root/target/lambda" "${packages[@]}"

output=$root/target/package/$architecture
rm -rf "$output"
mkdir -p "$output"
too_large=0
printf '%-10s %12s %12s\n' function "zipped" "unzipped"
for name in "${names[@]}"; do
  binary=$root/target/lambda/freshet-$name/bootstrap
  zip=$output/${name#*-}.zip
  # The same binary makes the same file, whenever it is packed: Terraform goes by its hash.
  python3 - "$binary" "$zip" <<'PYTHON'
import sys
import zipfile

binary, path = sys.argv[1:]
entry = zipfile.ZipInfo("bootstrap", (1980, 1, 1, 0, 0, 0))
entry.compress_type = zipfile.ZIP_DEFLATED
entry.create_system = 3
entry.external_attr = 0o755 << 16
with open(binary, "rb") as file, zipfile.ZipFile(path, "w") as package:
    package.writestr(entry, file.read(), compresslevel=9)
PYTHON
  zipped=$(wc -c <"$zip")
  unzipped=$(wc -c <"$binary")
  printf '%-10s %9d kB %9d kB\n' "${name#*-}" $((zipped / 1024)) $((unzipped / 1024))
  if ((zipped > most_zipped || unzipped > most_unzipped)); then
    echo "package: ${name#*-} is larger than Lambda takes: 50 MB zipped, 250 MB unzipped" >&2
    too_large=1
  fi
done
echo "package: in $output"
exit "$too_large"
