"""Explorations as tests: a corrected function has no finding, and a finding is a schedule that can be played again."""

VOTE = {"vote": "v-7", "candidate": "Hypatia"}


def tables(client):
    for table, key in {"candidates": "candidate", "ballots": "vote"}.items():
        client("dynamodb").create_table(
            TableName=table,
            KeySchema=[{"AttributeName": key, "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )


def test_a_vote_is_counted_once_whatever_happens(lambda_stack):
    found = lambda_stack.explore("votes_once", VOTE, prepare=tables)

    assert not found.findings, str(found)


def test_a_vote_without_a_ballot_is_counted_twice(lambda_stack):
    found = lambda_stack.explore("votes", VOTE, prepare=tables)

    (finding,) = found.findings
    assert finding.differences[0].address == "dynamodb://candidates/Hypatia"
    assert finding.differences[0].found[0]["votes"] == 2

    again = lambda_stack.explore("votes", VOTE, prepare=tables, schedule=finding.schedule)
    assert again.findings[0].differences == finding.differences


def test_an_invariant_says_what_must_hold(lambda_stack):
    def one_vote(client):
        item = client("dynamodb").get_item(TableName="candidates", Key={"candidate": {"S": "Hypatia"}})["Item"]
        assert item["votes"] == {"N": "1"}, f"{item['votes']['N']} votes of one voter"

    found = lambda_stack.explore("votes", VOTE, prepare=tables, invariant=one_vote)

    assert "2 votes of one voter" in str(found)
