"""Additions to moto server for rehearsed deployments: CloudFormation, ElastiCache, ECR, EC2 and access.

    cloudformation.py   CloudFormation's answers, with stacks of our own: moto's implementation is only a sketch
    stack_backend.py    the stacks and change sets of one account; operations run in threads
    stack.py            one stack and its resources
    plan.py             what an operation would change: the content of a change set
    operation.py        one operation on one stack: resources in dependency order, rolled back on failure
    template.py         a template: parameters, references and conditions
    template_yaml.py    reads a template's text as data, for `harness.deploy` too
    resources/          the resource types; each is created and deleted by the API calls that AWS makes
    elasticache.py      parameter groups, Memcached nodes and the configuration endpoint
    ecr.py              the images in the stack's registry
    fis/                experiments of FIS that strike functions of the Lambda service
    ec2.py              VPC endpoints that disappear when deleted and can be found by tag until then
    s3.py               lets connections from this machine pass a bucket policy that demands TLS
    access.py           checks functions' calls against roles, the bucket policy and VPC endpoints
    delete_request.py   the keys in the body of S3's DeleteObjects
    content.py          what the services hold: the state that explorations compare
    faults.py           makes calls and resources fail when a rehearsal asks for it
    install.py          adds all of this, service by service, before a service's first request

A type that is not in `resources/` fails its stack: nothing is reported as created that does not exist.
"""
