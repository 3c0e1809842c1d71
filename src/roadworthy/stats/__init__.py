"""The maths: arrays in, numbers out; numpy only, no clock, no I/O, no hidden randomness.

Import the topic you need; nothing is imported here.

- `counts`: `Bins`, `Counts`, `freeze`, `empty`, `fold`, `merge`, `merge_all`
- `columns`: `Kind`, `kind_of`, and how lists and arrays with nulls are read
- `drift`: `compare`, `drifted`, `ChannelResult`, `Floors`, `false_discoveries`, `rate_p_value`
- `distances`: `jensen_shannon`, `population_stability`, `null_threshold`, `null_tail`
- `quantiles`: `Latencies`, `fold_latencies`, `merge_latencies`, `weighted_quantile`
- `intervals`: `Interval`, `wilson`, `share_difference`, `mean_interval`, `bootstrap`
- `ranking`: `recall`, `hit_rate`, `reciprocal_rank`, `discounted_gain`
- `quality`: `losses`, `accuracy`, `log_loss`, `brier`, `roc_auc`, `mean_absolute_error`,
  `root_mean_squared_error`, `r_squared`, `auc_interval`, `auc_difference`, `paired_difference`
- `sequential`: `Bets`, `bound`
- `sequences`: `Moments`, `mean_bounds`, `difference_bounds`, `Bernstein`, `strict_difference_bounds`, `Bounds`,
  `judge`
- `sample_ratio`: `Ratio`
- `decision_loss`: `label_loss`, `value_loss`
- `performance`: `Estimate`, `estimate`, `Residual`, `residual`, `Calibration`, `calibrate`
- `judged`: `scored_mean`, `scored_difference`, `judged_mean`, `judged_difference`, `Judged`, `decide`,
  `decide_difference`, `case_means`
- `raters`: `raters`, `Raters` (agreement and Cohen's kappa)
- `model_change`: `logprob_change`, `first_token_change`, `text_change`, `confirmed`, `border_prompts`,
  `steady_prompts`, `Change`
- `tails`: the few distribution functions the above rest on
- `arrays`: the array types, and the checks at the room's border
"""
