def prepare(client):
    s3 = client("s3")
    s3.create_bucket(Bucket="inbox")
    s3.create_bucket(Bucket="reports")
    s3.put_object(Bucket="inbox", Key="monday/1", Body="lamp,30\nbulb,4")
