"""Retrieval: a corpus becomes one versioned index, a question its passages, an answer its checked citations.

The base install suffices for an index by words; meaning (`embed`) needs the extra `rag`. Import the topic you need:

- `index`: `Parameters`, `build`, `load`, `Index`, `Hit`
- `abstain`: `Rule`, `should_abstain`
- `cite`: `check_citations`, `support`, `best_passage`
- `embed`: `Embedder`, `packaged_embedder`, `open_embedder`
"""
