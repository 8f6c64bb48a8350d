"""What any command-line package needs: errors, arguments, files, progress, processes. Knows nothing of ECG."""
