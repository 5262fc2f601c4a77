"""For tests of plugins: `check`, the conformance kit, and small problems to try a component on.

A file a contract; whatever a component breaks is one AssertionError of one sentence.
"""

from __future__ import annotations

from delt_plugins.kit.checks import check as check
from delt_plugins.kit.checks import check_options as check_options
from delt_plugins.kit.checks import findings as findings
from delt_plugins.kit.small import random_teacher as random_teacher
from delt_plugins.kit.small import small_problem as small_problem
from delt_plugins.kit.small import views_of as views_of
from delt_plugins.kit.trial import Trial as Trial
from delt_plugins.kit.trial import try_out as try_out
