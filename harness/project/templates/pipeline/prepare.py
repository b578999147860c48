"""Prepare the stack that is up: a bucket with one file of orders, and the queue for totals.

eval "$(harness status --shell)"
python prepare.py
"""

from pathlib import Path

import boto3

ORDERS = Path(__file__).with_name("orders.csv")

s3 = boto3.client("s3")
s3.create_bucket(Bucket="orders")
s3.put_object(Bucket="orders", Key="monday.csv", Body=ORDERS.read_bytes())
boto3.client("sqs").create_queue(QueueName="totals")
