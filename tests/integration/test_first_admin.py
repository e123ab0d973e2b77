"""The administrator of quickstart: made once, with a password that is printed and kept nowhere."""


def made(stack):
    return dict(line.split() for line in stack.run("first-admin", "admin").stdout.splitlines())


def test_the_first_administrator_is_printed_once_and_kept_nowhere(make_stack):
    stack = make_stack()
    stack.wait_until_ready()
    printed = made(stack)
    assert printed["name"] == "admin" and len(printed["password"]) >= 20
    login = stack.post("/api/auth/login", json={"username": "admin", "password": printed["password"]})
    assert login.data["user"]["role"] == "admin"

    stack.start()                             # once more, as a second ./quickstart does
    assert made(stack) == {}
    assert stack.sql_one("SELECT count(*) FROM users") == "1"
    for path in stack.dir.rglob("*"):
        if path.is_file():
            assert printed["password"].encode() not in path.read_bytes(), path


def test_a_name_that_is_taken_and_an_administrator_that_is_there_are_left_alone(make_stack):
    stack = make_stack()
    stack.ctl("user", "add", "Admin", "--random-password")
    refused = stack.run("first-admin", "admin", check=False)
    assert refused.returncode != 0 and "already" in refused.stderr and refused.stdout == ""
    stack.ctl("user", "add", "somebody", "--admin", "--random-password")
    assert made(stack) == {}
    assert stack.sql("SELECT username, role FROM users ORDER BY created_at") == [["Admin", "user"], ["somebody", "admin"]]
