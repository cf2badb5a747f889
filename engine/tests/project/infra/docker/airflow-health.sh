#!/bin/sh
# Whether the database, the scheduler and the DAG processor are alive, as Airflow's API server says.
exec python3 -c '
import json, os, sys, urllib.request
port = os.environ.get("AIRFLOW__API__PORT", "8080")
with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v2/monitor/health", timeout=8) as answer:
    health = json.load(answer)
states = {name: health[name]["status"] for name in ("metadatabase", "scheduler", "dag_processor")}
print(states)
sys.exit(any(state != "healthy" for state in states.values()))
'
