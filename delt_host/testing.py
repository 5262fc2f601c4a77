"""For tests of plugins: `check`, the conformance kit, and small problems to try a component on."""

from __future__ import annotations

from delt_host.conformance import check as check
from delt_host.conformance import check_options as check_options
from delt_host.conformance.small import random_teacher as random_teacher
from delt_host.conformance.small import small_problem as small_problem
from delt_host.conformance.small import views_of as views_of
