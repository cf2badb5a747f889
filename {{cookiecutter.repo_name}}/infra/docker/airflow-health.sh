#!/bin/sh
# Whether a component of Airflow is alive, as its API server says: airflow-health.sh scheduler
exec python3 -c '
import json, os, sys, urllib.request
server = os.environ["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"].removesuffix("/execution/")
with urllib.request.urlopen(f"{server}/api/v2/monitor/health", timeout=8) as answer:
    health = json.load(answer)
states = {name: health[name]["status"] for name in sys.argv[1:]}
print(states)
sys.exit(any(state != "healthy" for state in states.values()))
' "$@"
