"""Every method of the catalogue keeps the whole contract."""

import pytest

from gradlab import catalog, testing

ENTRIES = {entry.name: entry for entry in catalog.entries()}


@pytest.mark.parametrize("name", ENTRIES)
def test_the_whole_contract_holds(name):
    report = testing.check_entry(ENTRIES[name])
    assert set(report.kept) == set(testing.PROMISES_OF[ENTRIES[name].kind])
