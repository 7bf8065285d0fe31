output "dead_letter_queue_name" {
  description = "Name of the queue of starts that failed."
  value       = aws_sqs_queue.dead_letters.name
}
