#!/bin/sh
# The admin's password and the database's address, before Airflow starts.
set -eu
umask 077
# Nobody signs in elsewhere: on Kubernetes the other pods do not get the password.
case "$*" in *api-server*) : "${AIRFLOW_ADMIN_PASSWORD:?set it in .env}" ;; esac
if [ -n "${AIRFLOW_ADMIN_PASSWORD:-}" ]; then
  # Airflow would make a password up and print it into the log. The containers share the file.
  python3 -c '
import json, os, pathlib
path = pathlib.Path(os.environ["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE"])
wanted = json.dumps({"admin": os.environ["AIRFLOW_ADMIN_PASSWORD"]})
if not path.is_file() or path.read_text() != wanted:
    new = path.with_suffix(f".{os.getpid()}")
    new.write_text(wanted)
    new.replace(path)
'
fi
# On Kubernetes a Secret holds the whole address.
if [ -z "${AIRFLOW__DATABASE__SQL_ALCHEMY_CONN:-}" ]; then
  : "${AIRFLOW_DATABASE_PASSWORD:?set it in .env}" "${AIRFLOW_DATABASE_HOST:?name the database's host}"
  # A password may hold what an address may not.
  AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=$(python3 -c '
import os, urllib.parse
password = urllib.parse.quote(os.environ["AIRFLOW_DATABASE_PASSWORD"], safe="")
print("postgresql://airflow:%s@%s/airflow" % (password, os.environ["AIRFLOW_DATABASE_HOST"]))
')
  export AIRFLOW__DATABASE__SQL_ALCHEMY_CONN
fi
exec "$@"
