"""Wallets: what a worker spends from, as files with one writer each.

`wallet.FileWallet` is the worker's side, `folder.Wallets` control's. Why no kill loses or doubles money is written down
in `layout.py`.
"""
