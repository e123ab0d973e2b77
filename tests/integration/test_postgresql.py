"""PostgreSQL as the guide wants it: its settings."""

import pathlib
import re

SETTINGS = {
    "max_connections": "200", "shared_buffers": "256MB", "effective_cache_size": "1GB", "maintenance_work_mem": "64MB",
    "checkpoint_completion_target": "0.9", "wal_buffers": "16MB", "default_statistics_target": "100", "random_page_cost": "1.1",
    "effective_io_concurrency": "200", "work_mem": "4MB", "min_wal_size": "1GB", "max_wal_size": "4GB",
}


def test_the_file_of_settings_is_the_guides_and_in_force(stack):
    file = pathlib.Path(stack.prefix) / "share" / "llmchat" / "conf" / "postgresql.llmchat.conf"
    lines = [line for line in file.read_text().splitlines() if line and not line.startswith("#")]
    found = {}
    for line in lines:
        name, value, why = re.fullmatch(r"(\w+) = (\S+) +# (.{20,})", line).groups()
        found[name] = value
    assert found == SETTINGS
    # What SHOW says, in the same words.
    assert {name: stack.sql_one(f"SHOW {name}") for name in SETTINGS} == SETTINGS
    assert stack.sql("SELECT name FROM pg_file_settings WHERE error IS NOT NULL", superuser=True) == []
