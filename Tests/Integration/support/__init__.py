# SPDX-License-Identifier: Apache-2.0
"""What every black-box driver shares: wire client, launchers, reporting."""
