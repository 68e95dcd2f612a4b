"""What `flatten` does by itself keeps to the notes that a dead executor left in its file."""

from pathlib import Path
from types import SimpleNamespace

from pipelines.domain.errors import JournalAway
from pipelines.journal import journal_at
from pipelines.journal.postgres import database_url
from pipelines.journal.spool import Spool, SpooledJournal
from pipelines.params import load_params
from pipelines.paths import state_folder
from serving import halting
from tests.unit.journal.records import an_order

ACCOUNT = "flatten-and-the-spool"


class Desk:
    """Of a broker: instead of leaving positions it reads the journal and then meets one that hangs."""

    def flattener(self, account, params, journal):
        def run(patience_s, show):
            with journal.writer_lock(account):
                taken_over = journal.orders(account)
                journal._lose(JournalAway("the journal does not answer"))
                journal.record_order(account, an_order(order_id="2"))
                return taken_over

        return SimpleNamespace(run=run)

    def standing(self, ours):
        return None


def test_notes_of_a_dead_executor_are_taken_over_and_new_ones_wait(own_postgres, tmp_path, monkeypatch):
    monkeypatch.setenv("TRADESAGE_STATE", str(tmp_path))
    monkeypatch.setattr(halting, "_params_of", lambda workspace: load_params(Path("params.yaml")))
    journal_at(database_url("journal")).close()
    spool = Spool(state_folder() / "spool" / f"{ACCOUNT}.jsonl")
    spool.append([("record_order", {"account": ACCOUNT, "order": an_order()})])
    spool.close()

    taken_over = halting._flat_by_ourselves(Desk(), SimpleNamespace(account=ACCOUNT, workspace=str(tmp_path)), 1.0)

    assert taken_over == [an_order()]
    journal = SpooledJournal(journal_at(database_url("journal")), state_folder() / "spool")
    with journal.writer_lock(ACCOUNT):
        assert len(journal.orders(ACCOUNT)) == 2
    journal.close()
