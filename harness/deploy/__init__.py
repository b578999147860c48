"""The deployment to AWS, or its rehearsal: one CloudFormation stack, and functions by the Lambda API.

template.yaml   everything that functions stand on
template        reads it: resources, parameters, outputs
intrinsics      resolves !Ref, !Sub and their like, as CloudFormation would
prices          what each resource costs while it stands
checks          what cfn-lint and our own rules find wrong before AWS does
policy          who may do what: IAM's evaluation, and the table of calls that roles must allow or deny
"""
