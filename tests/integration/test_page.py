"""The chat page: what it is made of, and, where there is a Chromium, that people can use it."""

import re

import pytest

import browser
from stack import ROOT, wait_for

NAME, PASSWORD = "admin", "correct horse battery"
WHO = "document.getElementById('who').checkVisibility() && document.getElementById('who').textContent"
FOCUS = "document.activeElement.id"


def test_everything_the_page_is_made_of_is_there(stack):
    page = stack.get("/").text
    wanted = set(re.findall(r'(?:href|src)="(/[^"]*)"', page))
    assert "/main.js" in wanted
    for path in sorted(wanted):
        answer = stack.get(path)
        assert answer.status == 200 and "html" not in answer.header("Content-Type"), path
        if path.endswith(".js"):
            assert "javascript" in answer.header("Content-Type")
            missing = {"/" + name for name in re.findall(r"from '\./([^']*)'", answer.text)} - wanted
            assert not missing, f"{path} imports what index.html does not preload"


def test_the_page_works_under_a_strict_policy():
    """script-src 'self'; style-src 'self': nothing inline, nothing from elsewhere, no text that is taken for HTML."""
    web = ROOT / "web"
    page = (web / "index.html").read_text()
    assert not re.search(r"<script(?![^>]*src=)|<style|\sstyle=|\son[a-z]+=|https?:", page)
    for path in web.glob("*.js"):
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", path.read_text()), path.name


def test_the_options_say_what_needs_no_account(stack):
    assert stack.get("/api/auth/options").data == {"anonymous": True, "registration": False}


def start_browser():
    try:
        return browser.Browser(width=380)
    except AssertionError as e:
        pytest.skip(f"Chromium does not work here: {e}")


def log_in(page, password):
    page.wait(f"{FOCUS} == 'login-name'")
    page.type(NAME)
    page.press("Tab")
    page.type(password)
    page.press("Enter")


def ask(page, question, n):
    page.wait("!document.getElementById('send').disabled && document.getElementById('input').checkVisibility()")
    page.js("document.getElementById('input').focus()")
    page.type(question)
    page.press("Enter")
    page.wait(f"document.querySelectorAll('.assistant').length == {n} && !document.querySelector('.live')")
    assert page.js("[...document.querySelectorAll('.assistant > .text')].at(-1).textContent") == question


@pytest.mark.skipif(not browser.PROGRAM, reason="there is no Chromium")
def test_a_browser_logs_in_chats_and_keeps_what_was_typed(make_stack):
    stack = make_stack(ADMIN_USERNAME=NAME, ADMIN_PASSWORD=PASSWORD, ALLOW_REGISTRATION="true", RESPONDERS=1)
    stack.wait_until_ready()
    assert stack.get("/api/auth/options").data == {"anonymous": False, "registration": True}
    with start_browser() as page:
        page.open(f"http://localhost:{stack.port}/")
        log_in(page, "wrong")
        assert page.wait("document.getElementById('login-error').textContent") == "The name or the password is wrong."
        page.type(PASSWORD)                  # over the wrong one, which is selected
        page.press("Enter")
        page.wait(f"({WHO}) == '{NAME}'")
        ask(page, "One", 1)

        page.open(f"http://localhost:{stack.port}/")
        page.wait(f"({WHO}) == '{NAME}' && document.querySelectorAll('.message').length == 2")
        ask(page, "Two", 2)

        # The login ends elsewhere. With an access token of the same login the test sees when the responder has heard of it.
        mine = stack.post("/api/auth/refresh", json={"refreshToken": page.js("JSON.parse(localStorage['llmchat.login']).refreshToken")}).data
        stack.sql("UPDATE logins SET ended_at = now(), ended_why = 'revoked' WHERE ended_at IS NULL")
        wait_for(lambda: stack.get("/api/auth/verify", token=mine["token"]).status == 401, what="the end of the login")
        page.type("Three")
        page.press("Enter")
        log_in(page, PASSWORD)
        page.wait("document.getElementById('input').value == 'Three'")
        page.js("document.getElementById('input').value = ''")
        ask(page, "Three", 3)

        page.js("document.getElementById('agent').value = 'demo-zh'; document.getElementById('agent').dispatchEvent(new Event('change'))")
        page.wait("!document.getElementById('send').disabled && document.querySelectorAll('.assistant').length == 0")
        page.type("Four")
        page.press("Enter")
        page.wait("document.querySelector('.assistant > .text')?.textContent")
        page.click("#stop")
        page.wait("!document.querySelector('.live')")
        assert page.js("document.querySelector('.assistant .state').textContent") == "stopped"
        assert stack.sql("SELECT status FROM chat_messages WHERE agent_id = 'demo-zh' AND role = 'assistant'") == [["stopped"]]

        page.click("#who")
        page.click("#logout")
        page.wait("document.getElementById('login').checkVisibility()")
        assert page.js("localStorage.getItem('llmchat.login')") is None
        assert page.js("document.querySelectorAll('.message').length") == 0
        assert page.complaints == []
