"""Additions to moto server for rehearsed deployments: CloudFormation, ElastiCache, ECR, EC2 and access.

    cloudformation.py   change sets, updates, rollbacks and events as AWS has them; moto's own are a sketch of these
    operation.py        one operation on one stack: resources in their order, rolled back when one fails
    template.py         a template: its parameters, references and conditions
    resources/          the types of resources, each created and deleted by the calls that AWS's own handlers make
    elasticache.py      parameter groups, Memcached's nodes and the configuration endpoint
    ecr.py              the images that lie in the stack's registry
    ec2.py              VPC endpoints that are gone when they are deleted, and found by their tags while they are not
    s3.py               a bucket policy that demands TLS lets this machine's connections pass
    access.py           calls of functions pass their roles, the bucket's policy and their VPC's endpoints
    faults.py           calls and resources that fail when a rehearsal wants them to
    install.py          adds it all, service by service, before the first request of each

A type that is not in `resources/` fails its stack: nothing is reported as created that does not exist.
"""
