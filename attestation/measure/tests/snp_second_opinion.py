"""Launch digests by sev-snp-measure: one line per case of firmware, kernel, initrd, append, vCPUs, type, features."""

import sys

from sevsnpmeasure import guest, vcpu_types
from sevsnpmeasure.vmm_types import VMMType

for line in sys.stdin:
    firmware, kernel, initrd, append, vcpus, vcpu_type, features = line.rstrip("\n").split("\t")
    digest = guest.snp_calc_launch_digest(
        int(vcpus),
        vcpu_types.CPU_SIGS[vcpu_type],
        firmware,
        kernel,
        initrd,
        append,
        int(features, 16),
        "",
        VMMType.QEMU,
    )
    print(digest.hex())
