#!/bin/sh
# Write the admin's password before Airflow starts: it would make one up and print it into the log.
set -eu
umask 077
: "${AIRFLOW_ADMIN_PASSWORD:?set it in .env}"
python3 -c '
import json, os, pathlib
path = pathlib.Path(os.environ["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE"])
path.write_text(json.dumps({"admin": os.environ["AIRFLOW_ADMIN_PASSWORD"]}))
'
exec "$@"
