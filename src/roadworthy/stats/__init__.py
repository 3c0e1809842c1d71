"""The maths: arrays in, numbers out; numpy only, no clock, no I/O, no hidden randomness.

Import the topic you need; nothing is imported here.

- `counts`: `Bins`, `Counts`, `freeze`, `fold`, `merge`, `merge_all`
- `drift`: `compare`, `drifted`, `ChannelResult`, `Floors`, `jensen_shannon`, `population_stability`,
  `null_threshold`, `false_discoveries`
- `quantiles`: `Latencies`, `fold_latencies`, `merge_latencies`, `weighted_quantile`
- `intervals`: `Interval`, `wilson`, `mean_interval`, `bootstrap`, `share_difference`
- `quality`: `accuracy`, `log_loss`, `brier`, `roc_auc`, `mean_absolute_error`, `root_mean_squared_error`,
  `r_squared`, `losses`, `auc_interval`, `auc_difference`, `paired_difference`
- `sequential`: `Bets`, `bet`, `bound`, `MeanSequence`, `ArmSequence`, `difference`, `judge`, `Ratio`, …
- `performance`: `estimate`, `residual`, `Calibration`, `calibrate`
- `tails`: the few distribution functions the above rest on
- `arrays`: the array types, and the checks at the room's border
"""
