"""Language models: providers spoken to in one protocol, prompt templates, prices, and the policy of asking."""
