#!/usr/bin/python3
"""Searches through nginx, a keep-alive connection a thread, beside bench/search.sql's data: bench/search.py PORT TOKEN [CONNECTIONS [SECONDS]].

Prints p50 and p99 in ms for words that one message has, and for those that many have.
"""

import http.client
import json
import random
import sys
import threading
import time
import urllib.parse

RARE = [f"rare{i}x{k}" for i in range(1, 10001, 7) for k in (1, 2)]


def common_words(port, token):
    """Words and pairs of characters that the messages found by some rare words have."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    counts = {}
    for q in random.sample(RARE, 60):
        connection.request("GET", "/api/chat-sessions/search?q=" + q, headers={"Authorization": f"Bearer {token}"})
        for hit in json.loads(connection.getresponse().read())["data"]:
            for word in " ".join(match["snippet"] for match in hit["matches"]).replace(".", " ").replace("，", " ").replace("…", " ").split():
                for part in [word] if word.isascii() else [word[i:i + 2] for i in range(len(word) - 1)]:
                    counts[part] = counts.get(part, 0) + (not part.startswith("rare"))
    return sorted(counts, key=counts.get, reverse=True)[:16]


def measure(port, token, words, connections, seconds):
    took, end = [], time.monotonic() + seconds

    def ask():
        connection = http.client.HTTPConnection("127.0.0.1", port)
        while time.monotonic() < end:
            began = time.monotonic()
            connection.request("GET", "/api/chat-sessions/search?q=" + urllib.parse.quote(random.choice(words)), headers={"Authorization": f"Bearer {token}"})
            answer = connection.getresponse()
            answer.read()
            assert answer.status == 200, answer.status
            took.append((time.monotonic() - began) * 1000)

    threads = [threading.Thread(target=ask) for _ in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took.sort()
    return f"{len(took) / seconds:.0f}/s, p50 {took[len(took) // 2]:.1f}, p99 {took[int(len(took) * 0.99)]:.1f}"


def main():
    port, token = int(sys.argv[1]), sys.argv[2]
    connections = int(sys.argv[3]) if len(sys.argv) > 3 else 16
    seconds = float(sys.argv[4]) if len(sys.argv) > 4 else 10
    common = common_words(port, token)
    print("common:", " ".join(common))
    print("rare  ", measure(port, token, RARE, connections, seconds))
    print("common", measure(port, token, common, connections, seconds))


if __name__ == "__main__":
    main()
