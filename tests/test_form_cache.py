"""What is kept of forms."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from spacy.attrs import ORTH
from spacy.tokens import Doc
from spacy.vocab import Vocab

from mminibert.runtime.form_cache import FormCache
from mminibert.runtime.forms import FormTable

WORDS = st.lists(st.sampled_from(["a", "b", "c", "dd", "ee"]), min_size=1, max_size=12)


@given(texts=st.lists(WORDS, min_size=1, max_size=5), start=st.integers(0, 3), most=st.integers(0, 6))
def test_each_word_gets_what_its_form_is(texts: list[list[str]], start: int, most: int) -> None:
    """Also where what is kept is given up in between; 0 and -1 are kept like any other."""
    asked: list[str] = []

    def make(form: str) -> int:
        asked.append(form)
        return len(form) - 2

    cache, vocab = FormCache(make), Vocab()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mminibert.runtime.form_cache.CACHED_FORMS", most)
        for words in texts:
            doc = Doc(vocab, words=words)
            keys = doc.to_array(ORTH).tolist()[start:]
            assert cache.of_doc(doc, keys, start) == [len(word) - 2 for word in words[start:]]
    if most >= 5:
        assert len(asked) == len(set(asked))


def test_tables_that_were_asked_can_be_pickled_without_what_is_kept() -> None:
    """As other processes get a pipeline that has tagged before, where they are not forks."""
    table = FormTable(("^abc",), np.ones((1, 4), np.int8), np.ones(1, np.float32))
    unused = pickle.dumps(table)
    doc = Doc(Vocab(), words=["abc", *map(str, range(1000))])
    keys = doc.to_array(ORTH).tolist()
    found = table.vectors(doc, keys, 0)
    again = pickle.loads(pickled := pickle.dumps(table))
    assert len(pickled) < len(unused) + 1000
    assert again.vectors(doc, keys, 0) == found
