"""The policy file to start from, with a comment on every key."""

from __future__ import annotations

__all__ = ["TEMPLATE"]

TEMPLATE = """\
# What must hold for an update to ship:
#
#   muscle-llm compare OLD NEW --policy policy.yaml      exit 0 pass, 1 fail, 3 inconclusive
#
# Each margin is the largest harm you accept, as a share of the instances (0.02 and 2 % are the same). It
# passes if the upper bound of the harm's interval is within the margin, fails if the lower bound is beyond,
# and is inconclusive otherwise. The verdict is the worst clause. What you leave out is not judged; what the
# logs cannot tell is inconclusive and never passes.

confidence: 0.95              # of the two-sided intervals whose bounds decide
on_inconclusive: inconclusive # fail | pass | inconclusive: the verdict if nothing fails but something is open

all:
  min_instances: 200          # with fewer the verdict is inconclusive
  accuracy_drop: 1 %          # accuracy of old minus accuracy of new
  nfr: 5 %                    # negative flips: right in old, wrong in new, whatever was gained elsewhere
  # excess_nfr: 2 %           # negative flips beyond the noise floor (--old-rerun FILE, or repeated answers)
  # nfr_mc: 8 %               # wrong in new, with another answer than in old
  # churn: 20 %               # answers that changed, right or wrong
  # reliable_flips: 0 %       # instances reliably worse; needs several answers per instance
  # scores:                   # scores per instance, by their name in the logs
  #   rouge1:
  #     mean_drop: 0.01       # in the score's own unit
  #     nfr: 30 %             # instances whose score fell (by more than --tolerance)
  #     regress: 0.05         # mean fall among them
  # must_not_break:           # ids of instances that must stay right if they were right,
  #   file: golden_ids.txt    # one per line, relative to this file; or a list: [id-1, id-2]

# tasks:                      # changes for single tasks; what they leave open is as in all
#   gsm8k:
#     nfr: 2 %
#     nfr_mc: off             # disables an inherited margin

# slices:                     # every value of a slice (--map slice.subject=COLUMN)
#   subject:
#     skip_below: 50          # values with fewer instances are not judged
#     nfr: 10 %
#     values:
#       law: {nfr: 4 %}       # stricter for one value
"""
