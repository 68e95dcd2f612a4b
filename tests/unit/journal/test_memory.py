from dataclasses import replace

import pytest

from pipelines.journal.chain import broken_at
from pipelines.journal.memory import MemoryJournal
from tests.unit.journal.checks import JournalChecks
from tests.unit.journal.records import NOON


class TestMemoryJournal(JournalChecks):
    @pytest.fixture
    def journal(self):
        return MemoryJournal()


def test_a_changed_audit_entry_breaks_the_chain_at_its_place():
    journal = MemoryJournal()
    for place in range(3):
        journal.audit("asha", "noted", f"thing {place}", {}, NOON)
    entries = journal.audit_entries()
    entries[1] = replace(entries[1], actor="somebody else")

    assert broken_at(entries) == 1


def test_a_missing_audit_entry_breaks_the_chain():
    journal = MemoryJournal()
    for place in range(3):
        journal.audit("asha", "noted", f"thing {place}", {}, NOON)

    assert broken_at(journal.audit_entries()[1:]) == 0
