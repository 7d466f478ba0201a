#!/bin/sh
# Prepares one DokuWiki in an empty directory, from Debian's package dokuwiki: its files, unmodified, in www with an
# empty wiki that nobody has set up. Starts nothing and changes nothing elsewhere.
#   sh dokuwiki.sh DIR
set -eu
dir=$1

# The package's files with what its links lead to. Debian keeps configuration and pages in /etc and /var, and tells
# DokuWiki so in inc/preload.php; without it they are where DokuWiki's own archive has them: conf and data.
mkdir "$dir/www"
tar -C /usr/share/dokuwiki -chf - --exclude=./.htaccess --exclude=./inc/preload.php --exclude=./lib/plugins/testing . | tar -C "$dir/www" -xf -
mkdir "$dir/www/conf" "$dir/www/data"
for part in attic cache index locks log media media_attic media_meta meta pages tmp; do
	mkdir "$dir/www/data/$part"
done
for file in /etc/dokuwiki/*.conf /etc/dokuwiki/*.php /etc/dokuwiki/*.json; do
	case ${file##*/} in
	apache.conf | lighttpd.conf | local.php | plugins.local.php | acl.auth.php | users.auth.php) ;;
	*) cp -L "$file" "$dir/www/conf/" ;;
	esac
done
sed -i "s,'/var/lib/dokuwiki/data','./data'," "$dir/www/conf/dokuwiki.php"
# What most wikis allow besides.
echo 'txt text/plain' >"$dir/www/conf/mime.local.conf"
