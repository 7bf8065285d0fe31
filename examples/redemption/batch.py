"""Plays the batch system: writes last night's members, who all have a birthday this month, as CSV.

Usage: python3 batch.py FILE, a path or an s3:// address (its credentials from AWS_* variables)
Needs: pip install polars
"""

import pathlib
import sys

import polars

MEMBERS = range(1, 301)


def main(place):
    members = polars.DataFrame(
        {
            "member_id": [f"m-{number:03}" for number in MEMBERS],
            "email": [f"member{number}@example.com" for number in MEMBERS],
            "gift": ["BDAY20" if number % 3 == 0 else "BDAY10" for number in MEMBERS],
        }
    )
    if "://" not in place:
        pathlib.Path(place).parent.mkdir(parents=True, exist_ok=True)
    members.write_csv(place)
    print(f"wrote {len(members)} members")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
