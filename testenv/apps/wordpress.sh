#!/bin/sh
# Prepares one WordPress in an empty directory, from Debian's packages wordpress and mariadb-server-core: its files,
# unmodified, in www with a wp-config.php; an empty database in db. Starts nothing and changes nothing elsewhere.
#   sh wordpress.sh DIR
set -eu
dir=$1

# The package's files with what its links lead to, but for the Apache configuration and Debian's own wp-config.php,
# which wants files in /etc.
mkdir "$dir/www"
tar -C /usr/share/wordpress -chf - --exclude=./.htaccess --exclude=./wp-config.php . | tar -C "$dir/www" -xf -
mkdir -p "$dir/www/wp-content/uploads"

cat >"$dir/www/wp-config.php" <<PHP
<?php
define('DB_NAME', 'wordpress');
define('DB_USER', 'root');
define('DB_PASSWORD', '');
define('DB_HOST', 'localhost:$dir/db.sock');
define('DB_CHARSET', 'utf8mb4');
define('DB_COLLATE', '');
\$table_prefix = 'wp_';
// Behind a gateway that ends TLS, as WordPress's handbook says.
if ((\$_SERVER['HTTP_X_FORWARDED_PROTO'] ?? '') === 'https') \$_SERVER['HTTPS'] = 'on';
if (isset(\$_SERVER['HTTP_HOST'])) {
    define('WP_HOME', 'https://' . \$_SERVER['HTTP_HOST']);
    define('WP_SITEURL', WP_HOME);
}
// Whoever serves it leads addresses that are no file to index.php, as WordPress believes of nginx.
\$_SERVER['SERVER_SOFTWARE'] = 'nginx';
// Nothing leaves this machine, and nothing runs that no request asked for.
define('WP_HTTP_BLOCK_EXTERNAL', true);
define('AUTOMATIC_UPDATER_DISABLED', true);
define('DISABLE_WP_CRON', true);
define('AUTOSAVE_INTERVAL', 3600);
if (!defined('ABSPATH')) define('ABSPATH', __DIR__ . '/');
require_once ABSPATH . 'wp-settings.php';
PHP

mariadb-install-db --no-defaults --user="$(id -un)" --datadir="$dir/db" --auth-root-authentication-method=normal \
	--skip-test-db --skip-name-resolve >"$dir/install-db.txt" 2>&1 || { cat "$dir/install-db.txt" >&2; exit 1; }
