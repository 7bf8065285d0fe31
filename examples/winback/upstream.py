"""Plays the web shop: posts the orders of the last two months, as a shop's systems do.

Every fifth customer ordered in the last 30 days, one in four of them cancelled; as many ordered longer ago. Each order is sent when it is
placed, and again when its status is known; some versions arrive in the wrong order, and one request is sent twice.

Reads INGEST_TOKEN, and INGEST_URL (by default http://127.0.0.1:8080) and INGEST_TENANT (by default "default").
"""

import datetime
import json
import os
import urllib.request

STREAM = "is-webOrders1"
CUSTOMERS = range(1, 1001)
BATCH = 100


def versions(number, now):
    """Both versions of a customer's order; none: the customer ordered nothing."""
    if number % 5 > 1:
        return []
    days_ago = number % 28 + 1 if number % 5 == 0 else number % 28 + 31
    placed = now - datetime.timedelta(days=days_ago)
    order = {
        "order_id": f"o-{number:04}",
        "customer": {"email": f"customer{number}@example.com"},
        "order_revenue": f"{10 + number * 37 / 100:.2f}",
        "order_datetime": placed.isoformat(),
        "items": [{"sku": f"sku-{number % 17}", "quantity": number % 3 + 1}],
    }
    status = "cancelled" if number % 20 == 5 else "shipped"
    return [
        order | {"status": "placed", "updated_at": placed.isoformat()},
        order | {"status": status, "updated_at": (placed + datetime.timedelta(hours=3)).isoformat()},
    ]


def post(url, token, records):
    request = urllib.request.Request(
        f"{url}/stream/v0/data/{STREAM}",
        json.dumps(records).encode(),
        {
            "Authorization": f"Bearer {token}",
            "X-Amperity-Tenant": os.environ.get("INGEST_TENANT", "default"),
            "Content-Type": "application/json",
        },
    )
    with urllib.request.urlopen(request) as response:
        return json.load(response)["records"]


def main():
    url = os.environ.get("INGEST_URL", "http://127.0.0.1:8080")
    token = os.environ["INGEST_TOKEN"]
    now = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)
    records = [version for number in CUSTOMERS for version in versions(number, now)]
    # Late ones: every third pair of versions arrives the wrong way round.
    for at in range(0, len(records) - 1, 6):
        records[at], records[at + 1] = records[at + 1], records[at]
    batches = [records[at : at + BATCH] for at in range(0, len(records), BATCH)]
    accepted = sum(post(url, token, batch) for batch in [*batches, batches[0]])
    print(f"posted {accepted} records of {len(records) // 2} orders")


if __name__ == "__main__":
    main()
