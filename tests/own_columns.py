"""Columns that a team's file has and the sample lacks: two dates, and a note."""

import csv
from datetime import date, timedelta
from pathlib import Path

NOTES = ("Too EXPENSIVE: order 4711", "all fine", "", "asked about the price", "order 12 was late")
ASKED_ON = date(2026, 1, 1)


def add_columns(file: Path) -> list[str]:
    """Add `note`, `asked_on` and `signed_up_on` to each row; returns the customers."""
    with file.open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    for number, row in enumerate(rows):
        row["note"] = NOTES[number % len(NOTES)]
        row["asked_on"] = str(ASKED_ON)
        row["signed_up_on"] = str(ASKED_ON - timedelta(days=number % 900))
    with file.open("w", encoding="utf-8", newline="") as stream:
        table = csv.DictWriter(stream, rows[0])
        table.writeheader()
        table.writerows(rows)
    return [row["customer_id"] for row in rows]
