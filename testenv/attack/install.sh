#!/bin/sh
# Installs the attack tools of `make attack`: as root on Debian with apt-get; elsewhere it says what is missing.
set -eu
missing=
for tool in sqlmap wapiti hydra python3; do
	command -v "$tool" >/dev/null 2>&1 || missing="$missing $tool"
done
[ -n "$missing" ] || exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
	export DEBIAN_FRONTEND=noninteractive
	apt-get update -qq
	# shellcheck disable=SC2086 # a list of packages
	apt-get install -y -qq --no-install-recommends $missing >/dev/null
	exit 0
fi
echo "make attack needs what is missing here:$missing" >&2
exit 1
