"""Plays the batch system: writes last night's Customer360 as a Delta table.

Usage: python3 batch.py PLACE, a directory or an s3:// address (its credentials from AWS_* variables)
Needs: pip install polars deltalake
"""

import sys
from decimal import Decimal

import polars

CUSTOMERS = range(1, 1001)


def email(number):
    # The batch system capitalizes what the web shop doesn't.
    return f"Customer{number}@example.com" if number % 2 else f"customer{number}@example.com"


def main(place):
    customers = polars.DataFrame(
        {
            "customer_id": [f"c-{number:04}" for number in CUSTOMERS],
            "email": [email(number) for number in CUSTOMERS],
            "segment": ["lapsed" if number % 3 else "active" for number in CUSTOMERS],
            "lifetime_value": [Decimal(number * 7) + Decimal("0.25") for number in CUSTOMERS],
        },
        schema_overrides={"lifetime_value": polars.Decimal(18, 2)},
    )
    customers.write_delta(place, mode="overwrite")
    print(f"wrote {len(customers)} customers to Customer360")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
