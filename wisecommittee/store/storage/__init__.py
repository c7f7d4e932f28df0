"""The few file operations a store needs, on local disks and on object stores."""
