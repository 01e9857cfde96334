from __future__ import annotations


def test_a_key_scores(gateway, make_server, make_endpoint):
    server = make_server()
    endpoint = make_endpoint(gateway, server)
    answer = gateway.score(endpoint, b'{"a": 1}', x_request_id="abc_1")
    assert answer.status_code == 200, answer.text
    print(answer.headers, answer.text)
