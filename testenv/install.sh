#!/bin/sh
# Installs what the tests need besides Go and make. As root on Debian (or a derivative) it installs what is missing with
# apt-get; elsewhere it says what is missing and how it is called. npm packages are installed by the tests themselves.
set -eu

# command or file:debian-packages, with + between:what for
# The CMS: Debian's WordPress wants a web server, and this is the one that starts nothing.
needs='
gcc:gcc:the race detector
openssl:openssl:the TLS stories
testssl:testssl.sh:the TLS stories
/usr/sbin/nft:nftables:the file of bans for a firewall
ip:iproute2:the story of a gateway that sends nothing
unshare:util-linux:the story of a gateway that sends nothing
fail2ban-regex:fail2ban:the bans in the log, as fail2ban reads them
curl:curl:the stories that use what an operator uses
chromium:chromium:the stories in a browser
certutil:libnss3-tools:the stories in a browser
node:nodejs:the OpenID provider and Node-RED
npm:npm:the OpenID provider and Node-RED
/usr/lib/python3/dist-packages/jwt/__init__.py:python3-jwt+python3-cryptography:the recipe that verifies assertions
/usr/sbin/rsyslogd:rsyslog:the story of a log collector
/usr/lib/*/rsyslog/lmnsd_gtls.so:rsyslog-gnutls:the story of a log collector
redis-server:redis-server:the stories of several gateways
promtool:prometheus:the alerts
systemd-analyze:systemd:the rating of the systemd unit
/usr/bin/python3:python3:the other verifier of the audit log
/usr/lib/python3/dist-packages/cryptography:python3-cryptography:the other verifier of the audit log
slowhttptest:slowhttptest:the story of slow clients
hydra:hydra:the story of guessed passwords
php:php-cli:the wiki and the CMS
/usr/share/dokuwiki/doku.php:dokuwiki:the wiki
/usr/sbin/mariadbd:mariadb-server-core:the CMS
/usr/share/wordpress/wp-load.php:wordpress+php-mbstring+micro-httpd+netcat-traditional:the CMS
'

# has is true when the command or the file, of which it may be a pattern, is there.
has() {
	case $1 in
	/*)
		# shellcheck disable=SC2086 # it may be a pattern
		set -- $1
		[ -e "$1" ] ;;
	*) command -v "$1" >/dev/null 2>&1 ;;
	esac
}

missing=
packages=
for need in $(echo "$needs" | tr ' ' '_'); do
	command=${need%%:*}
	rest=${need#*:}
	package=$(echo "${rest%%:*}" | tr + ' ')
	if ! has "$command"; then
		missing="$missing  $command ($(echo "${rest#*:}" | tr '_' ' '); Debian package $package)
"
		packages="$packages $package"
	fi
done
# The race detector links against the C library.
if command -v gcc >/dev/null 2>&1 && ! echo '#include <stdlib.h>' | gcc -E - >/dev/null 2>&1; then
	missing="$missing  the C library's headers (the race detector; Debian package libc6-dev)
"
	packages="$packages libc6-dev"
fi
[ -n "$missing" ] || exit 0
case " $packages " in *" gcc "*) packages="$packages libc6-dev" ;; esac

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
	echo "installing:$packages"
	export DEBIAN_FRONTEND=noninteractive
	apt-get update -qq
	# The theme that WordPress's package recommends: it is called after its year.
	case $packages in *" wordpress "*)
		packages="$packages $(apt-cache depends wordpress | sed -n 's/.*Recommends: *\(wordpress-theme-[a-z]*\)$/\1/p')" ;;
	esac
	# shellcheck disable=SC2086 # a list of packages
	apt-get install -y -qq --no-install-recommends $packages >/dev/null
	exit 0
fi
printf 'The tests need what is missing here:\n%s' "$missing" >&2
if command -v apt-get >/dev/null 2>&1; then
	printf 'Run this and try again:\n  sudo apt-get install --no-install-recommends%s\n' "$packages" >&2
else
	printf 'Install it with the package manager of this system (only Debian is done automatically) and try again.\n' >&2
fi
exit 1
