"""What any command-line package needs: errors, arguments, files, progress, processes. Knows nothing of ECG."""

from support.threads import wait_asleep

wait_asleep()  # here, since every command imports this package before torch
