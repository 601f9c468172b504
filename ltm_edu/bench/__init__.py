"""What the fast paths are worth on this machine: `ltm-edu bench`.

Each row sets a plain way against ours on the same work, compares the two results, and is the RATIO
of the medians of their times, the two taking turns in one run: whatever else the machine does meets
both. Seconds belong to one machine; ratios travel better.

Peak memory is what the results of operations take, all that live at one moment; inputs, and what a
library holds inside one operation, are not in it. On a GPU it is the allocator's own peak.
"""

from .files import data_rows, open_masks
from .measuring import How, Row, compare, peak_bytes
from .scoring import evaluation_row, features_row, one_by_one, seeds_row
from .steps import epoch_row, paper_model, training_row
from .suite import FULL, PARTS, QUICK, Sizes, gpu_rows, head, machine, measure, run
from .tensors import attention_row, loss_row
