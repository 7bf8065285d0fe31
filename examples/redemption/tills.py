"""Plays the tills: reports redeemed gifts as XML documents of several redemptions each.

Every fourth member redeems, one of ten of these takes it back an hour later; the last document is reported twice.

Reads INGEST_TOKEN, and INGEST_URL (by default http://127.0.0.1:8080) and INGEST_TENANT (by default "default").
"""

import datetime
import os
import urllib.request
import xml.etree.ElementTree as xml

STREAM = "is-redemptions1"
MEMBERS = range(1, 301)
DOCUMENT = 20


def redemption(number, reported_at, voided):
    row = xml.Element("redemption", id=f"r-{number:03}")
    xml.SubElement(row, "member", id=f"m-{number:03}")
    gift = xml.SubElement(row, "gift", code="BDAY20" if number % 3 == 0 else "BDAY10")
    xml.SubElement(gift, "value").text = "20.00" if number % 3 == 0 else "10.00"
    if voided:
        xml.SubElement(row, "voided").text = "true"
    xml.SubElement(row, "reportedAt").text = reported_at.isoformat()
    return row


def document(rows):
    # The rows lie below what a till says of itself, at any depth.
    report = xml.Element("tillReport", shop="0042")
    xml.SubElement(report, "redemptions").extend(rows)
    return xml.tostring(report, encoding="utf-8", xml_declaration=True)


def post(url, token, body):
    request = urllib.request.Request(
        f"{url}/stream/v0/data/{STREAM}",
        body,
        {
            "Authorization": f"Bearer {token}",
            "X-Amperity-Tenant": os.environ.get("INGEST_TENANT", "default"),
            "Content-Type": "application/xml",
        },
    )
    with urllib.request.urlopen(request) as response:
        assert response.status == 202


def main():
    url = os.environ.get("INGEST_URL", "http://127.0.0.1:8080")
    token = os.environ["INGEST_TOKEN"]
    now = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)
    rows = []
    for number in MEMBERS:
        if number % 4 == 0:
            rows.append(redemption(number, now - datetime.timedelta(hours=2), False))
            if number % 40 == 0:
                rows.append(redemption(number, now - datetime.timedelta(hours=1), True))
    documents = [document(rows[at : at + DOCUMENT]) for at in range(0, len(rows), DOCUMENT)]
    for body in [*documents, documents[-1]]:
        post(url, token, body)
    print(f"reported {len(rows)} times in {len(documents) + 1} documents")


if __name__ == "__main__":
    main()
