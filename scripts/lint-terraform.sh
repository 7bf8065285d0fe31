#!/usr/bin/env bash
# Checks infra/terraform without an AWS account: format; every resource and argument against the AWS provider's schema; references
# between modules; names of settings, paths and log lines against the Rust source; whether Terraform can evaluate the examples; and
# checkov. What it needs besides Python and npm it installs into .servers/terraform, or below where FRESHET_SERVERS says, from the pinned
# lists in scripts/servers/terraform.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
pinned=$root/scripts/servers/terraform
tools=${FRESHET_SERVERS:-$root/.servers}/terraform

install_tools() {
  local lists=("$pinned/requirements.txt" "$pinned/provider.txt") stamp archive package integrity found
  stamp=$(cat "${lists[@]}" | cksum)
  mkdir -p "$tools"
  # The lock is the directory itself: it goes with the script, however that ends.
  exec 9<"$tools"
  if command -v flock >/dev/null; then
    flock 9
  fi
  if [[ -f $tools/stamp && $(<"$tools/stamp") == "$stamp" ]]; then
    return
  fi
  # Without a stamp, what is there is old or half done.
  rm -rf "$tools/stamp" "$tools/python" "$tools/provider"
  { read -r package && read -r integrity; } < <(grep -v '^#' "$pinned/provider.txt")

  echo "lint: $package, through npm (about 40 MB)"
  mkdir -p "$tools/provider"
  archive=$tools/provider/$(cd "$tools/provider" && npm pack --silent "$package")
  found=sha512-$(python3 -c 'import base64, hashlib, sys; print(base64.b64encode(hashlib.sha512(open(sys.argv[1], "rb").read()).digest()).decode())' "$archive")
  if [[ $found != "$integrity" ]]; then
    echo "lint: the archive of $package is $found, and not $integrity" >&2
    exit 1
  fi
  # The schema is in the declarations; the code beside them is ten times their size.
  tar -xzf "$archive" -C "$tools/provider" --exclude='*.js' --exclude='.jsii'
  rm "$archive"

  echo "lint: checkov, through pip (about 300 MB unpacked)"
  python3 -m venv "$tools/python"
  "$tools/python/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --requirement "$pinned/requirements.txt"
  "$tools/python/bin/python" -m pip check --disable-pip-version-check
  echo "$stamp" >"$tools/stamp"
}

terraform=$(command -v terraform || command -v tofu || true)
if [[ $terraform ]]; then
  "$terraform" fmt -check -diff -recursive "$root/infra/terraform"
else
  echo "lint: neither terraform nor tofu is installed, so Terraform's files were neither formatted nor evaluated (https://developer.hashicorp.com/terraform/install)"
fi
for needed in python3 npm; do
  if ! command -v "$needed" >/dev/null; then
    echo "lint: $needed isn't installed, so Terraform's files weren't checked (Debian: apt-get install python3 python3-venv npm)"
    exit 0
  fi
done
install_tools
export FRESHET_PROVIDER_AWS=$tools/provider/package PYTHONDONTWRITEBYTECODE=1
"$tools/python/bin/python" "$root/scripts/terraform/check.py" "$FRESHET_PROVIDER_AWS"
"$tools/python/bin/python" "$root/scripts/terraform/test_check.py" --quiet
if [[ $terraform ]]; then
  "$tools/python/bin/python" "$root/scripts/terraform/evaluate.py" "$terraform" "$FRESHET_PROVIDER_AWS"
fi
"$tools/python/bin/checkov" --directory "$root/infra/terraform" --framework terraform --skip-download --quiet --compact
