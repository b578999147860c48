"""Deployments to AWS, and rehearsals: one CloudFormation stack, and functions through the Lambda API.

template.yaml   the infrastructure of the functions
template        reads the template: resources, parameters, outputs
intrinsics      resolves !Ref, !Sub and other intrinsic functions as CloudFormation does
prices          the hourly price of each resource
checks          finds mistakes before AWS does, with cfn-lint and our own rules
policy          extracts the policies of roles and endpoints from the template
access          the table of calls that the roles must allow or deny
"""
