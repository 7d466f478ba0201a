#!/bin/sh
# Installs the attack tools of `make attack`, and the programs whose figures stand beside the gateway's: as root on Debian
# with apt-get; elsewhere it says what is missing.
set -eu
PATH=$PATH:/usr/sbin
missing=
for tool in sqlmap wapiti hydra python3 nginx haproxy; do
	command -v "$tool" >/dev/null 2>&1 || missing="$missing $tool"
done
command -v fail2ban-server >/dev/null 2>&1 || missing="$missing fail2ban"
# With it fail2ban learns of a log's lines at once, as it does on most hosts; without, once a second.
[ -e /usr/lib/python3/dist-packages/pyinotify.py ] || missing="$missing python3-pyinotify"
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
