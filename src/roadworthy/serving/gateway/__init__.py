"""The gateway: systems of kind llm behind OpenAI's API, each a model name.

One thing a file:

- `request`: what a caller asked, checked
- `place`: a system made ready to answer, with its models and guards
- `chain`: who answers in which order
- `calling`: one model asked, within its class rules, its budget and its deadline
- `answer`, `streaming`: a question answered at once, or piece by piece
- `cache`: the same answer to the same question of the same caller
- `doors`: paths and methods
"""
